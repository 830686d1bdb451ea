"""The real server against a model of it."""

import pytest

pytest.register_assert_rewrite("tests.machine.driver")
