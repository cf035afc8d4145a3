#!/usr/bin/env bash
# Starts PostgreSQL with the contract of the official image's entrypoint, and one promise more:
# an initialisation that dies half-way is never taken for a finished cluster.
#
# While $PGDATA/.initialising exists, the cluster is not finished and everything in $PGDATA comes
# from that attempt. The folder is created only in an empty $PGDATA and renamed away, in one step,
# after the last initialisation script has succeeded.
set -Eeuo pipefail
shopt -s nullglob

readonly MARKER=.initialising
readonly FINISHED=.initialised

fail() {
    printf 'docker-entrypoint: %s\n' "$*" >&2
    exit 1
}

# file_env NAME [DEFAULT]: NAME itself, or the content of the file that NAME_FILE names.
file_env() {
    local name=$1 default=${2:-} file_name=${1}_FILE
    local value=${!name:-} file=${!file_name:-}
    if [[ -n $value && -n $file ]]; then
        fail "$name and $file_name are both set. Set one of them."
    fi
    if [[ -n $file ]]; then
        [[ -r $file ]] || fail "$file_name names $file, which user $(id -u) cannot read. Check the mount and its mode."
        value=$(<"$file")
    fi
    printf -v "$name" '%s' "${value:-$default}"
}

starts_server() {
    [[ $1 == postgres ]] || return 1
    local argument
    for argument; do
        case $argument in
            -'?' | --help | --describe-config | -V | --version) return 1 ;;
        esac
    done
}

prepare_folders() {
    mkdir -p "$PGDATA" || fail "cannot create $PGDATA as user $(id -u). Mount a folder that this user owns."
    if [[ $(id -u) == 0 ]]; then
        find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
        # The sockets' folder may be read-only or somebody else's mount: PostgreSQL itself will say so.
        find /var/run/postgresql \! -user postgres -exec chown postgres '{}' + || true
    fi
    # PostgreSQL refuses a data folder that others may enter; a group that may read was chosen at initdb.
    chmod u=rwx,g-w,o= "$PGDATA" || fail "cannot set the mode of $PGDATA as user $(id -u): it must own that folder."
}

become_postgres() {
    export HOME=/var/lib/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
}

system_identifier() {
    LC_ALL=C pg_controldata -D "$1" | sed -n 's/^Database system identifier: *//p'
}

# Everything that stands in $PGDATA, but for what a file system or this script puts there.
entries() {
    find "$PGDATA" -mindepth 1 -maxdepth 1 \! -name lost+found \! -name "$MARKER" "$@"
}

remove_interrupted_attempt() {
    [[ -d $PGDATA/$MARKER ]] || return 0
    # A cluster that somebody restored over the remains is not ours to remove.
    if [[ -e $PGDATA/global/pg_control ]]; then
        local ours=
        [[ -r $PGDATA/$MARKER/system-identifier ]] && ours=$(<"$PGDATA/$MARKER/system-identifier")
        [[ $(system_identifier "$PGDATA") == "$ours" ]] || fail "$PGDATA has the mark of an interrupted" \
            "initialisation ($MARKER) but holds another cluster. Nothing was touched. If that cluster is the one" \
            "you want, remove $PGDATA/$MARKER and start again."
    fi
    echo "docker-entrypoint: the last initialisation of $PGDATA was interrupted; its remains are removed." >&2
    entries -exec rm -rf '{}' +
    rm -rf "${PGDATA:?}/$MARKER"
}

refuse_foreign_files() {
    local found
    found=$(entries -printf '%f ' | head -c 200)
    [[ -z $found ]] || fail "$PGDATA has no PG_VERSION, so it is no cluster, but it is not empty: $found." \
        "Mount an empty folder, or restore the cluster completely."
}

check_password() {
    [[ -z ${POSTGRES_INITDB_WALDIR:-} ]] || fail "POSTGRES_INITDB_WALDIR is not supported by this image. Unset it."
    if [[ $POSTGRES_HOST_AUTH_METHOD == trust ]]; then
        echo "docker-entrypoint: POSTGRES_HOST_AUTH_METHOD=trust lets everyone on the network in, as anyone." >&2
    elif [[ -z $POSTGRES_PASSWORD ]]; then
        fail "POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are empty, and a new cluster needs a superuser's password."
    fi
}

create_cluster() {
    local staged=$PGDATA/$MARKER/cluster password_option=
    mkdir "$PGDATA/$MARKER"
    # initdb reads the password from a descriptor: an argument would show in every process list.
    exec {password_fd}< <(printf '%s\n' "$POSTGRES_PASSWORD")
    [[ -z $POSTGRES_PASSWORD ]] || password_option=--pwfile=/dev/fd/$password_fd
    echo "docker-entrypoint: initialising a cluster in $PGDATA"
    # eval, because POSTGRES_INITDB_ARGS is a command line and may quote. No sync: publish_cluster does it
    # once for all. No output but errors: its parting advice would name the staging folder.
    eval "initdb --pgdata=\"\$staged\" --username=\"\$POSTGRES_USER\" --no-sync $password_option $POSTGRES_INITDB_ARGS" >/dev/null
    exec {password_fd}<&-
    printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$staged/pg_hba.conf"

    system_identifier "$staged" >"$PGDATA/$MARKER/system-identifier"
    sync "$PGDATA/$MARKER/system-identifier"
    chmod --reference="$staged" "$PGDATA"
    find "$staged" -mindepth 1 -maxdepth 1 -exec mv -t "$PGDATA" '{}' +
    rmdir "$staged"
}

# Until it is finished the cluster listens on a socket inside the marker only, so that no health
# check, which asks the usual socket or port, ever calls it ready.
start_private_server() {
    local options
    printf -v options '%q ' "${@:2}" -c listen_addresses= -c unix_socket_directories="$PGDATA/$MARKER"
    pg_ctl --pgdata="$PGDATA" --options="$options" --wait --silent start
}

stop_private_server() {
    pg_ctl --pgdata="$PGDATA" --mode=fast --wait --silent stop
}

run_sql() {
    psql --set=ON_ERROR_STOP=1 --no-password --no-psqlrc --username="$POSTGRES_USER" "$@"
}

create_database() {
    [[ $POSTGRES_DB != postgres ]] || return 0
    run_sql --quiet --dbname=postgres --set=database="$POSTGRES_DB" <<<'CREATE DATABASE :"database";'
}

run_scripts() {
    local script
    for script in /docker-entrypoint-initdb.d/*; do
        echo "docker-entrypoint: running $script"
        case $script in
            *.sh)
                if [[ -x $script ]]; then
                    "$script"
                else
                    # shellcheck disable=SC1090 # whoever runs the image puts it there
                    source "$script"
                fi
                ;;
            *.sql) run_sql --dbname="$POSTGRES_DB" --file="$script" ;;
            *.sql.gz) gunzip --stdout "$script" | run_sql --dbname="$POSTGRES_DB" ;;
            *.sql.zst) zstd --decompress --stdout "$script" | run_sql --dbname="$POSTGRES_DB" ;;
            *) echo "docker-entrypoint: ignored, neither .sh, .sql, .sql.gz nor .sql.zst" ;;
        esac
    done
}

publish_cluster() {
    sync --file-system "$PGDATA"
    mv --no-target-directory "$PGDATA/$MARKER" "$PGDATA/$FINISHED"
    sync --file-system "$PGDATA"
}

initialise() {
    refuse_foreign_files
    file_env POSTGRES_PASSWORD
    file_env POSTGRES_USER postgres
    file_env POSTGRES_DB "$POSTGRES_USER"
    file_env POSTGRES_INITDB_ARGS
    : "${POSTGRES_HOST_AUTH_METHOD:=scram-sha-256}"
    check_password
    create_cluster
    start_private_server "$@"
    # In a subshell, so that what scripts may read does not reach the server's environment.
    (
        export POSTGRES_USER POSTGRES_DB POSTGRES_PASSWORD
        export PGHOST=$PGDATA/$MARKER PGPASSWORD=$POSTGRES_PASSWORD
        create_database
        run_scripts
    )
    stop_private_server
    publish_cluster
    unset POSTGRES_PASSWORD
    echo "docker-entrypoint: $PGDATA is initialised"
}

main() {
    [[ ${1:-} != -* ]] || set -- postgres "$@"
    if starts_server "$@"; then
        prepare_folders
        [[ $(id -u) != 0 ]] || become_postgres "$@"
        remove_interrupted_attempt
        [[ -s $PGDATA/PG_VERSION ]] || initialise "$@"
        rm -rf "${PGDATA:?}/$FINISHED"
    fi
    exec "$@"
}

main "$@"
