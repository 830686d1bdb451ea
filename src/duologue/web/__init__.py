"""Files that run in browsers, and the routes that send them."""
