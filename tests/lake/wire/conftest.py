"""Generated requests are large, and a busy machine is slow: how long one of them takes is no fault."""

from hypothesis import HealthCheck, settings

settings.register_profile("wire", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wire")
