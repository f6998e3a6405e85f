"""DICOM to our types and back, nothing else: CT series, segmentations, XA and XRF clips."""
