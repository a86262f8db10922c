# make train ARGS="--num-epochs 20"   trains the chapter's model
# make test                           runs the tests but for the slow ones
# Each sets up .venv first when it isn't there or setup.cfg has changed.
# PYTHON=python3.10 chooses the interpreter, MXNET=cu112 the GPU build.

PYTHON ?=
MXNET ?=
ARGS ?=
RUN = .venv/bin/python

.PHONY: help venv train doctor test test-slow check lab notebooks bench bench-quality clean

help:
	@echo 'make train [ARGS="--num-epochs 20"]  train the chapter'"'"'s model (ARGS=-h lists the options)'
	@echo 'make doctor                          say what is wrong where something does not work'
	@echo 'make test                            run the tests, about six minutes'
	@echo 'make test-slow                       run the slow tests, about twenty minutes'
	@echo 'make check                           look at the style of the code'
	@echo 'make bench                           measure, beside d2l 0.14.0, PyTorch and Keras (an hour)'
	@echo 'make bench-quality                   train for half an hour each, ours and PyTorch, and judge'
	@echo 'make lab                             open the notebooks in JupyterLab'
	@echo 'make notebooks                       execute the notebooks anew'
	@echo 'make venv                            only set up the environment, .venv'

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
	$(RUN) -m flake8 d2l_seq2seq tests notebooks benchmarks

# JupyterLab shows the pictures of a notebook only if they were made here, or it was told to trust it.
lab: venv
	@.venv/bin/jupyter trust notebooks/*.ipynb
	$(RUN) -m jupyterlab notebooks $(ARGS)

notebooks: venv
	$(RUN) notebooks/execute.py $(ARGS)

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
	rm -rf .venv .peers build *.egg-info .pytest_cache
