"""The pages, one file each; `every` lists them."""
