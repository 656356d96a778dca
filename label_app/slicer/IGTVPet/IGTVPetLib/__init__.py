"""What the module IGTV PET asks the server for; works without Slicer."""
