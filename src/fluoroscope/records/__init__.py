"""What an exam leaves behind: runs and stored images (XA), the dose report (RDSR), pictures, its folder.

Everything written says whether it was simulated, and that it is not for clinical use. A file appears under
its name only when it is whole. UIDs of records derive from the study's and the irradiation events', so
writing a record again gives the same record.
"""
