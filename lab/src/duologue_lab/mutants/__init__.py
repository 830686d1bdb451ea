"""A mutation run: faults are planted into a copy of the source, one at a time, and each must be caught.

    python -m duologue_lab.mutants [--only WORDS] [--markdown]

For each fault the tests that should catch it are run, or a short torture. It prints which test, or which rule of the
torture, caught it. Exit codes: 0 all were caught, 1 one lives, 2 it could not be tried. It is run in the folder of
the repository, whose tests it runs; the source there isn't touched.
"""
