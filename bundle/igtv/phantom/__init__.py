"""4-D thorax PET/CT phantom: anatomy, tumours, breathing, scanner physics, and whole data sets made from a seed."""
