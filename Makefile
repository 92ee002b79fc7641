.DEFAULT_GOAL := help
.PHONY: help run demo test lint clean

# every demo gets a folder of its own: the one before stays for comparison
DEMO = .venv/bin/infosam demo --headless --out infosam_demo/$$(date +%Y-%m-%d-%H%M%S)

help: ## show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 8

run: ## open napari with the panel and a sample project; without a display, the demo
	@scripts/setup.sh run
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname -s)" = Darwin ]; then \
		.venv/bin/infosam annotate --sample; \
	else \
		$(DEMO); \
	fi

demo: ## run the whole loop on the bundled sample with the simulated annotator
	@scripts/setup.sh run
	@$(DEMO)

test: ## lint, every test, and those of the window again on PyQt6
	@scripts/setup.sh test
	@scripts/lint.sh
	@scripts/test.sh

lint: ## style, types, layers and the plugin manifest
	@scripts/setup.sh run
	@scripts/lint.sh

clean: ## remove environments, demos, caches and build products
	rm -rf .venv .venv-qt6 infosam_demo build dist .mypy_cache .ruff_cache \
		.pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
