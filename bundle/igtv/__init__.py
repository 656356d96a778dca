"""Internal gross tumour volume (IGTV) segmentation on lung PET/CT: the code behind the bundle's configs."""
