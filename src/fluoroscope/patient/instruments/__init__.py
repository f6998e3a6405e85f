"""What is put into the patient: needles, wires, markers, contrast medium, and what the tissue does to them."""
