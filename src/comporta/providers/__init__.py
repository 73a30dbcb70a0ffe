"""One file per wire, rows of data for the endpoints that speak it, the catalogue of models and prices."""
