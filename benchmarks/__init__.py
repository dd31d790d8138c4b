"""What deedlog costs over the bare driver or framework, one module per path; `README.md` says how to read the figures."""
