"""A shop on deedlog: products, customers, orders and what they add up to. Start reading at `products.py`."""
