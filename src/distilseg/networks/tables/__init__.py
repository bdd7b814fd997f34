"""Where the networks of libraries keep their features."""
