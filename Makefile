# One verb, one playbook, one name: `make VERB ENV=environment` runs playbooks/VERB.yml.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ENV ?= local
INVENTORIES ?= inventories

# Values reach tools/run.py through the environment, never through shell text: spaces, quotes and dollars stay as they were typed.
OPTIONS := ENV INVENTORIES SERVICE TAIL FOLLOW GREP VOLUMES CONFIRM FORMAT QUERY RELEASE TO REASON STATE RESTORE_DB MAX_AGE SET ONLY FROM FILE IDENTITY TIME LOCATION CREDENTIAL SECRETS FORCE CHECK DIFF V ARGS LOCK_WAIT SCENARIO
$(foreach option,$(OPTIONS),$(eval export ERNI_$(option) = $$(value $(option))))

OPERATIONS := up preflight verify deploy rollback releases maintenance backup backups restore restore-undo recover drill schedule status start stop restart logs psql redis-cli destroy secrets rotate rotate-emergency revoke-previous rotation-status
TESTS := test test-lint test-unit test-integration test-molecule test-e2e

.PHONY: help environment bench clean $(OPERATIONS) $(TESTS)

help: ## This list

##@ Bring it up and prove it
up: ## Make the environment what it should be; changes nothing when it is already
preflight: ## Check everything that could stop `up`, before anything is touched
verify: ## Prove that the platform works for a user

##@ Releases (REASON='why' goes into the journal)
deploy: ## Switch to RELEASE=<branch, tag or commit> or backend=<image>,frontend=<image>; without it to the inventory's
rollback: ## Go back to the last good release, or to TO=<id>
releases: ## What was deployed, and what can be rolled back to (FORMAT=json)
maintenance: ## STATE=on shows users the maintenance page, STATE=off ends it

##@ Backups (REASON='why' goes into the set)
backup: ## Make a set, read it whole and compare it; not while the newest is younger than MAX_AGE=<seconds>
backups: ## Which sets there are; all of one with SET=<id> (FORMAT=json)
restore: ## Bring back the newest set, SET=<id>, or FILE=<dump.sql.gz>; ONLY=<part> for one of postgres, redis, data, secrets
drill: ## Restore the newest set, or SET=<id>, into servers of its own that nobody reaches, and time it
restore-undo: ## Go back to what served before the last restore
recover: ## On bare hosts: bring up the platform that the newest set, or SET=<id>, is of; LOCATION=<folder> has it
schedule: ## Let backups, and what else backup_schedule lists, run by themselves; STATE=off ends it

##@ Secrets
secrets: ## Create the secrets that are missing; never replaces one
rotate: ## Replace all secrets that can be generated, or SECRETS=<name>,…, while users go on; FILE= has the value of one from outside
revoke-previous: ## End the values before the last rotation whose time is over; FORCE=1 ends all
rotate-emergency: ## Replace them and end those before at once, and tell people; needs REASON='why'
rotation-status: ## How old each secret is; fails when one is overdue (FORMAT=json)

##@ Every day (SERVICE=backend for one of them)
status: ## Container, health, uptime, restarts, image, CPU and memory of each service (FORMAT=json)
start: ## Start the services in the order of their dependencies
stop: ## Stop the services in the opposite order; data stays
restart: ## Stop and start
logs: ## Show the services' logs (TAIL=100 FOLLOW=1 GREP=text)
psql: ## Open psql on the database, or run QUERY='select 1'
redis-cli: ## Open redis-cli, or run QUERY='info memory'
destroy: ## Remove the containers, and with VOLUMES=1 the data; needs CONFIRM=<environment>

##@ Development
test: ## Everything that .ci/run checks
test-lint: ## Linters and types
test-unit: ## Decisions, as tables
test-integration: ## Modules against a real engine and real services
test-molecule: ## Roles on fresh hosts (SCENARIO=name for one)
test-e2e: ## The whole platform, with a browser
bench: ## Measure, and print the tables of docs/
clean: ## Remove the Python environment and the caches; the journal stays

##@ Options of every verb
##  ENV=local             the environment, a folder of inventories/
##  CHECK=1 DIFF=1        say what would change; show the differences
##  V=1 (2, 3)            show every task (and more)
##  ARGS='--limit host'   anything else for ansible-playbook
##  LOCK_WAIT=600         seconds to wait for another run; 0 refuses at once

help:
	@awk -f tools/help.awk $(firstword $(MAKEFILE_LIST))

environment:
	@tools/bootstrap

$(OPERATIONS): environment
	@exec .venv/bin/python tools/run.py $@

$(TESTS): environment
	@exec tools/test.sh $(patsubst test-%,%,$(@:test=all))

bench: environment
	@exec tools/test.sh bench

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .ansible
