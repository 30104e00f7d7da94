"""The gateway over HTTP. `service` is what every wire format stands on; `app` puts it together."""
