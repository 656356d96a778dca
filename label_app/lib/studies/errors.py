"""What can be wrong with a study."""

from monailabel.interfaces.exception import ImageNotFoundException


class PetMissing(ValueError):
    """A case has no PET that can be used; the text says why. A PET is never made up."""


class UnknownImage(ImageNotFoundException):
    """No image has this id."""

    def __init__(self, image_id: str):
        super().__init__(f"there is no image {image_id!r:.140}; it may have been moved, refresh the list of cases")
