"""A Python with a torch that fits this machine: found, or made in ~/.harborx/venv."""
