"""The IGTV network: one building block per file, put together in `igtv_network.py`."""
