"""Own MONAI dictionary transforms: the random augmentation of PET/CT slabs (everything else is stock MONAI)."""
