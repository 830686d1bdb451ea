"""Settings: what there are, where they come from, and which are refused."""

from duologue.config.checks import warnings
from duologue.config.load import ENV_PREFIX, load
from duologue.config.settings import ConfigError, Settings, is_loopback

__all__ = ["ENV_PREFIX", "ConfigError", "Settings", "is_loopback", "load", "warnings"]
