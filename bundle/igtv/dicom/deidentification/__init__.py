"""DICOM for training sets without the patients' names: what is kept, how it is changed, the key that leads back."""
