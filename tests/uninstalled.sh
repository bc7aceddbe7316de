# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the tests of other languages share, besides tap.sh: programs find the library as it was
# built, without being installed.

export GI_TYPELIB_PATH="$builddir${GI_TYPELIB_PATH:+:$GI_TYPELIB_PATH}"
export LD_LIBRARY_PATH="$builddir/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export PYTHONPATH="$srcdir/bindings/python${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONDONTWRITEBYTECODE=1
export GJS_PATH="$srcdir/bindings/gjs${GJS_PATH:+:$GJS_PATH}"

skip_all ()
{
  echo "1..0 # SKIP $1"
  exit 0
}

needs_typelib ()
{
  [ -e "$builddir/EasyServers-0.typelib" ] || skip_all "built without introspection"
}

needs_python ()
{
  needs_typelib
  ${PYTHON:-python3} -c 'import gi' 2>/dev/null || skip_all "no python3 that imports gi is there"
}

needs_gjs ()
{
  needs_typelib
  command -v gjs >/dev/null || skip_all "gjs is not there"
}

needs_vala ()
{
  [ -e "$builddir/vala/easyservers.vapi" ] || skip_all "built without vapigen"
  command -v valac >/dev/null || skip_all "valac is not there"
}

# interpret COMMAND...: a sanitizer that the library was built with has to come before the rest.
# What it keeps of freed memory, and what an interpreter never frees, are no leaks.
interpret ()
{
  if ! nm -D "$builddir/.libs/libeasyservers.so" 2>/dev/null | grep -q ' U __asan_init'; then
    "$@"
    return
  fi
  sanitizer=$(${CC:-cc} -print-file-name=libasan.so)
  LD_PRELOAD=$sanitizer ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=1 "$@"
}
