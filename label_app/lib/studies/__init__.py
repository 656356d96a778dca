"""Studies: CT cases with the PET that belongs to each, from a folder or from a PACS over DICOMweb."""
