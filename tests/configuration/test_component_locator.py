import sys
from concurrent.futures import ThreadPoolExecutor

from igtv.configuration.component_locator import SteadyComponentLocator
from monai.bundle import ConfigParser
from monai.bundle.config_item import ComponentLocator


def test_an_import_meanwhile_does_no_harm():
    """Four threads list the components while this one adds modules and takes them out again."""
    expected = ComponentLocator(excludes="metrics")._find_module_names()
    assert SteadyComponentLocator(excludes="metrics")._find_module_names() == expected

    with ThreadPoolExecutor(4) as pool:
        lists = [pool.submit(SteadyComponentLocator()._find_module_names) for _ in range(200)]
        for number in range(2000):
            sys.modules[f"made_up_{number}"] = sys
        for number in range(2000):
            del sys.modules[f"made_up_{number}"]
        assert all("monai.transforms" in found.result() for found in lists)


def test_a_parser_takes_it():
    parser = ConfigParser({"flip": {"_target_": "Flip", "spatial_axis": 1}})
    parser.locator = SteadyComponentLocator()
    assert type(parser.get_parsed_content("flip")).__name__ == "Flip"
