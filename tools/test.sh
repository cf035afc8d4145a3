#!/usr/bin/env bash
# Runs the tests, whole or in part: tools/test.sh all|lint|unit|integration|molecule|e2e|bench.
#
# It installs what it needs from Debian's packages, starts a Docker Engine when none runs, and leaves behind neither
# containers nor networks nor volumes nor processes; images stay, as a cache. A running environment is not touched.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly part=${1:?which part? all, lint, unit, integration, molecule, e2e or bench}
readonly python=$PWD/.venv/bin/python
readonly mark=ch.erni.test=1
export PATH=$PWD/.venv/bin:$PATH
export ANSIBLE_CONFIG=$PWD/ansible.cfg
export PYTHONDONTWRITEBYTECODE=1
unset ERNI_TEST_IMAGES

started_engine=

say() { printf '\n== %s\n' "$1"; }

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

need_packages() {
    local missing=() package
    for package in "$@"; do
        [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "Installing ${missing[*]}"
    {
        as_root apt-get update -qq &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}"
    } >/dev/null
}

engine_answers() { docker version >/dev/null 2>&1; }

# The project's own way of having an engine, so that it is tested, too.
need_engine() {
    engine_answers && return 0
    say 'Starting a Docker Engine for the tests'
    started_engine=yes
    ansible localhost --connection local --inventory localhost, --become \
        --extra-vars "ansible_python_interpreter=$python" --module-name docker_engine --args 'packages=mmdebstrap' >/dev/null
}

build_images() {
    ansible-playbook tests/images.yml --inventory localhost, --extra-vars "ansible_python_interpreter=$python"
}

# What the tests run, by the same action and names that `make up` uses. Lanes side by side get them from who began them.
need_images() {
    [[ -z ${ERNI_TEST_IMAGES:-} ]] || return 0
    build_images
    ERNI_TEST_IMAGES=$(<.run/test-images.json)
    export ERNI_TEST_IMAGES
}

# An engine that only the tests needed goes with them, unless something runs on it by now.
stop_engine() {
    [[ -n $started_engine ]] || return 0
    [[ -z $(docker ps --quiet 2>/dev/null) ]] || return 0
    local pid
    pid=$(cat /var/run/docker.pid 2>/dev/null) || return 0
    as_root kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
}

nothing_left() {
    engine_answers || return 0
    local left
    left=$(
        docker ps --all --quiet --filter "label=$mark"
        docker volume ls --quiet --filter "label=$mark"
        docker network ls --quiet --filter "label=$mark"
    )
    if [[ -n $left ]]; then
        printf 'The tests left these behind: %s\n' "$left" >&2
        return 1
    fi
}

lint() {
    say 'Lint and types'
    yamllint --strict .
    ruff check .
    ruff format --check .
    mypy
    git ls-files -z --cached --others --exclude-standard -- '*.sh' tools/bootstrap tools/lock .ci/run 'images/*-entrypoint.sh' |
        xargs -0 shellcheck
    git ls-files -z --cached --others --exclude-standard -- '*Dockerfile' | xargs -0 hadolint
    ansible-lint --offline
    "$python" tools/role_docs.py --check
}

unit() {
    say 'Unit tests'
    "$python" -m pytest tests/unit -q -n 4 # many wait rather than compute
}

integration() {
    need_packages zstd age cron rclone openssh-client openssh-server
    need_engine
    need_images
    say 'Integration tests'
    "$python" -m pytest tests/integration -q -n 2 --dist loadfile
}

scenarios() {
    if [[ -n ${ERNI_SCENARIO:-} ]]; then
        printf '%s\n' "$ERNI_SCENARIO"
    else
        find molecule -name molecule.yml -printf '%h\n' | sed 's|.*/||' | sort
    fi
}

molecule_scenario() {
    say "Molecule: $1"
    MOLECULE_EPHEMERAL_DIRECTORY=$PWD/.run/molecule-state/$1 molecule test --scenario-name "$1"
}

molecule_scenarios() {
    need_engine
    need_images
    local scenario
    for scenario in $(scenarios); do molecule_scenario "$scenario"; done
}

# Three lanes side by side, so that while one waits the others compute: all scenarios but the last, and the end-to-end
# tests of backups and keys, on an environment of their own; the end-to-end tests of whatever else nobody loads; the
# integration tests and the last scenario. What a lane in the background says follows at its end.
lanes() {
    local last first molecule platform failed=
    local -r backups_and_keys='tests/e2e/test_e2e_1[4567]*.py'
    last=$(scenarios | tail -n 1)
    first=$(scenarios | head -n -1)
    need_engine
    need_images
    {
        for scenario in $first; do molecule_scenario "$scenario"; done
        ERNI_E2E_ENV=twin e2e "$backups_and_keys"
    } >.run/test-molecule.log 2>&1 &
    molecule=$!
    e2e 'tests/e2e/test_e2e_0*.py tests/e2e/test_e2e_1[012389]*.py' >.run/test-e2e.log 2>&1 &
    platform=$!
    { integration && molecule_scenario "$last"; } || failed=yes
    # Also after a failure: a lane that went on alone would leave behind what it had just made.
    ended "$molecule" .run/test-molecule.log || failed=yes
    ended "$platform" .run/test-e2e.log || failed=yes
    [[ -z $failed ]]
}

ended() {
    wait "$1" || {
        cat "$2" >&2
        return 1
    }
    cat "$2"
}

# $1: which of its files, as patterns.
e2e() {
    need_engine
    need_images
    say 'End to end'
    # shellcheck disable=SC2086 # the patterns become the files that they fit
    "$python" -m pytest $1 -q --durations=12
}

need_browser() { need_packages age chromium chromium-driver libnss3-tools openssl curl; }

bench() {
    need_packages docker-compose
    need_engine
    need_images
    for benchmark in benchmarks/bench_*.py; do "$python" "$benchmark"; done
}

trap 'kill $(jobs -p) 2>/dev/null || true; stop_engine' EXIT
mkdir -p .run
case $part in
    lint) lint ;;
    unit) unit ;;
    integration) integration ;;
    molecule) molecule_scenarios ;;
    e2e)
        need_browser
        e2e tests/e2e
        ;;
    bench) bench ;;
    all)
        need_engine
        # Images come over the network while linters and unit tests use the processor.
        build_images >.run/test-images.log 2>&1 &
        images=$!
        lint >.run/test-lint.log 2>&1 &
        linters=$!
        failed=
        unit || failed=yes
        ended "$linters" .run/test-lint.log || failed=yes
        [[ -z $failed ]]
        wait "$images" || {
            cat .run/test-images.log >&2
            exit 1
        }
        need_browser
        lanes
        # Load and kills have the machine to themselves.
        e2e 'tests/e2e/test_e2e_2*.py'
        ;;
    *)
        printf 'There is no part "%s"; there are all, lint, unit, integration, molecule, e2e and bench.\n' "$part" >&2
        exit 2
        ;;
esac
nothing_left
say "Passed: $part"
