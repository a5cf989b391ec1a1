# The tasks of a working day; `.ci/run` does all of them in a fresh environment.
.PHONY: check test slow format bench

check:
	ruff check .
	ruff format --check .
	mypy

test:
	pytest

slow:
	pytest -m slow

format:
	ruff check --fix .
	ruff format .

bench:
	python -m benchmarks.run --help
