"""What people see of a run. Reads the run directory's data and nothing else."""
