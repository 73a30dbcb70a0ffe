"""A believable week of a delivery app's traffic, to look at before there is any of one's own."""
