"""What `comporta doctor` looks at: each module has a few checks, and `every` lists them all."""
