# make train ARGS="--num-epochs 20"   trains the chapter's model
# make test                           runs all tests but the slow ones
# Every target first sets up .venv if it does not exist or setup.cfg has changed.
# PYTHON=python3.10 selects the interpreter, MXNET=cu112 the GPU build.

PYTHON ?=
MXNET ?=
ARGS ?=
RUN = .venv/bin/python
# The site generator has an environment of its own, see .ci/docs.
MKDOCS = NO_MKDOCS_2_WARNING=1 PYTHONPATH=.docs .venv/bin/python -m mkdocs
# Other variables on make's command line, such as NUM_EPOCHS=1, would have no effect.
empty :=
UNKNOWN := $(filter-out PYTHON=% MXNET=% ARGS=%,$(subst \$(empty) $(empty),_,$(MAKEOVERRIDES)))
ifneq ($(UNKNOWN),)
$(error $(UNKNOWN) has no effect. Pass options in ARGS: make train ARGS="--num-epochs 20")
endif

.PHONY: help venv train doctor test test-slow check format docs docs-serve lab \
	notebooks pictures bench bench-quality clean

help:
	@echo 'make train [ARGS="--num-epochs 20"]  train the chapter'"'"'s model (ARGS=-h lists the options)'
	@echo 'make doctor                          check the installation and the machine'
	@echo 'make test                            run the checks and the fast tests (about six minutes)'
	@echo 'make test-slow                       run the slow tests (about twenty minutes)'
	@echo 'make check                           lint, check the format, the types and the imports'
	@echo 'make format                          format the code and sort the imports'
	@echo 'make docs                            build the documentation in build/site'
	@echo 'make docs-serve                      show it in a browser, while it is edited'
	@echo 'make bench                           run the speed benchmarks against d2l 0.14.0, PyTorch and Keras (an hour)'
	@echo 'make bench-quality                   train ours and PyTorch for half an hour each, and compare the translations'
	@echo 'make lab                             open the notebooks in JupyterLab'
	@echo 'make notebooks                       execute the notebooks again'
	@echo 'make pictures                        make the pictures of the README and of docs/ again'
	@echo 'make venv                            set up the environment in .venv'
	@echo 'make clean                           remove .venv and everything else that make has made'

venv:
	@sh .ci/venv "$(PYTHON)" "$(MXNET)"

train: venv
	@$(RUN) -m d2l_seq2seq.train $(ARGS)

doctor: venv
	@$(RUN) -m d2l_seq2seq.doctor $(ARGS)

test: check
	$(RUN) -m pytest -n auto --maxprocesses 4 --dist loadfile -m 'not slow' d2l_seq2seq tests $(ARGS)

test-slow: venv
	$(RUN) -m pytest -n auto --maxprocesses 2 --dist loadfile -m slow tests $(ARGS)

check: venv
	$(RUN) -m ruff check d2l_seq2seq tests notebooks benchmarks docs/site
	$(RUN) -m ruff format --check d2l_seq2seq tests benchmarks docs/site
	$(RUN) -m mypy
	.venv/bin/lint-imports

format: venv
	$(RUN) -m ruff check --fix d2l_seq2seq tests benchmarks docs/site
	$(RUN) -m ruff format d2l_seq2seq tests benchmarks docs/site

# Strict: a warning, such as a broken link, is an error.
docs: venv
	@sh .ci/docs
	$(MKDOCS) build --strict
	@echo 'the documentation is in build/site; make docs-serve shows it in a browser'

docs-serve: venv
	@sh .ci/docs
	$(MKDOCS) serve --dev-addr 127.0.0.1:8000 $(ARGS)

# JupyterLab shows SVG outputs only of trusted notebooks.
lab: venv
	@.venv/bin/jupyter trust notebooks/*.ipynb
	$(RUN) -m jupyterlab notebooks $(ARGS)

notebooks: venv
	$(RUN) notebooks/sources/execute.py $(ARGS)

pictures: venv
	$(RUN) notebooks/sources/execute.py --pictures

bench: venv
	$(RUN) benchmarks/training_speed.py
	$(RUN) benchmarks/growth.py
	$(RUN) benchmarks/opengenus.py
	$(RUN) benchmarks/family.py
	$(RUN) benchmarks/translation_speed.py
	$(RUN) benchmarks/scaling.py

bench-quality: venv
	$(RUN) benchmarks/quality.py

clean:
	rm -rf .venv .docs .peers build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
