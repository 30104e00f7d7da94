"""One file or folder a backend; all of them behind the protocol in `base`."""
