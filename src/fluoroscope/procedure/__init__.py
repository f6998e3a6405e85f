"""What is done to the patient and what must be asked before: the catalogue of procedures, the screening."""
