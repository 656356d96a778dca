"""MONAI's look-up of components, for processes in which other threads import modules meanwhile."""

import sys

from monai.bundle.config_item import ComponentLocator


class SteadyComponentLocator(ComponentLocator):
    """Lists the modules from a copy: MONAI 1.6 goes through `sys.modules` itself, which any import elsewhere breaks.

    Give it to a parser as `parser.locator` before the first content is asked for.
    """

    def _find_module_names(self) -> list[str]:
        names = list(sys.modules)  # a copy made in one step
        return [name for name in names if name.startswith(self.MOD_START) and all(s not in name for s in self.excludes)]
