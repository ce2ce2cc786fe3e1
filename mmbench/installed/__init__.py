"""What is installed beside mmbench, found without importing it: cheap, and safe with anything."""
