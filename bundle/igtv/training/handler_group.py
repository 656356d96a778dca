"""Several handlers as one entry of an engine's handler list."""

from collections.abc import Sequence

from ignite.engine import Engine


class HandlerGroup:
    """Attaches its handlers in their order.

    MONAI's property check and MONAI Label look into the handler list of the config and take every entry for an
    object description; a reference such as "@moving_average" breaks both, inside a group it does not.

    Args:
        handlers: objects with `attach(engine)`; None (a disabled one) is left out.
    """

    def __init__(self, handlers: Sequence) -> None:
        self.handlers = [handler for handler in handlers if handler is not None]

    def attach(self, engine: Engine) -> None:
        for handler in self.handlers:
            handler.attach(engine)
