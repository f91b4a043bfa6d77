"""The schema of the jobs, revision by revision."""
