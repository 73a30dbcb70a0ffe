"""What pages are made of. Every text goes to the browser as text: nothing here can turn it into HTML."""
