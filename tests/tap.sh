# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the shell tests share. They read it first, and end with done_testing.

set -u

# shellcheck disable=SC2034
srcdir=$(cd "${G_TEST_SRCDIR:-tests}/.." && pwd)
# shellcheck disable=SC2034
builddir=$(cd "${G_TEST_BUILDDIR:-tests}/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
n_checks=0

# check NAME COMMAND...: passes where the command succeeds in silence. What it says follows as comments.
check ()
{
  name=$1
  shift
  "$@" >"$scratch/check.out" 2>&1 && [ ! -s "$scratch/check.out" ]
  tell $? "$name"
}

# check_none NAME COMMAND...: passes where the command, which looks for offenders, finds none.
check_none ()
{
  name=$1
  shift
  "$@" >"$scratch/check.out" 2>&1
  [ ! -s "$scratch/check.out" ]
  tell $? "$name"
}

tell ()
{
  n_checks=$((n_checks + 1))
  if [ "$1" -eq 0 ]; then
    echo "ok $n_checks $2"
  else
    echo "not ok $n_checks $2"
    sed 's/^/# /' "$scratch/check.out"
  fi
}

# skip NAME REASON
skip ()
{
  n_checks=$((n_checks + 1))
  echo "ok $n_checks $1 # SKIP $2"
}

done_testing ()
{
  echo "1..$n_checks"
}
