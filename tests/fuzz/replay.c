/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../es-test.h"

#include "fuzz.h"

/*
 * What runs a target where libFuzzer does not: over the target's corpus, and over inputs that are
 * made of it at random, by the seed that g_test_init() takes (--seed). Given files, it runs over
 * those.
 *
 *     fuzz-NOUN [FILE...]
 */

#define N_MUTATIONS 2000
#define N_MUTATIONS_SLOW 50
#define MAX_SIZE 4096

static char *corpus;      /* (owned) the folder */
static GPtrArray *inputs; /* (owned) of (owned) GBytes */

static GBytes *
read_input (const char *path)
{
  g_autoptr (GError) error = NULL;
  char *data = NULL;
  gsize size;

  g_file_get_contents (path, &data, &size, &error);
  g_assert_no_error (error);
  return g_bytes_new_take (data, size);
}

/* From memory of its very size, so that a sanitizer sees who reads behind it. */
static void
run (GBytes *input)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (input, &size);
  g_autofree guint8 *copy = g_memdup2 (data, size);

  g_assert_cmpint (LLVMFuzzerTestOneInput (copy, size), ==, 0);
}

static void
test_corpus (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) folder = g_dir_open (corpus, 0, &error);
  const char *name;

  g_test_summary ("Every input of the corpus is handled.");

  g_assert_no_error (error);
  while ((name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename (corpus, name, NULL);

      g_test_message ("%s", name);
      g_ptr_array_add (inputs, read_input (path));
      run (g_ptr_array_index (inputs, inputs->len - 1));
    }
  g_assert_cmpuint (inputs->len, >, 0);
}

static guint
random_below (gsize n)
{
  return n > 0 ? (guint) g_test_rand_int_range (0, (gint32) MIN (n, G_MAXINT32)) : 0;
}

static void
change_byte (GByteArray *input)
{
  static const guint8 edges[] = { 0, 1, ' ', '(', ')', '\n', 0x7f, 0x80, 0xff };

  if (input->len == 0)
    return;
  if (random_below (2) == 0)
    input->data[random_below (input->len)] ^= 1 << random_below (8);
  else
    input->data[random_below (input->len)] = edges[random_below (G_N_ELEMENTS (edges))];
}

static void
remove_piece (GByteArray *input)
{
  guint start = random_below (input->len);

  if (input->len > 0)
    g_byte_array_remove_range (input, start, 1 + random_below (MIN (64, input->len - start)));
}

/* Puts a piece of any input behind any byte. */
static void
insert_piece (GByteArray *input)
{
  gsize size;
  const guint8 *other = g_bytes_get_data (g_ptr_array_index (inputs, random_below (inputs->len)),
                                          &size);
  guint start = random_below (size);
  guint n = size > 0 ? 1 + random_below (size - start) : 0;
  guint at = random_below (input->len + 1);
  g_autoptr (GByteArray) rest = g_byte_array_new ();

  g_byte_array_append (rest, input->data + at, input->len - at);
  g_byte_array_set_size (input, at);
  g_byte_array_append (input, other + start, n);
  g_byte_array_append (input, rest->data, rest->len);
}

static GBytes *
mutate (GBytes *input)
{
  static void (*const changes[]) (GByteArray * input) = { change_byte, change_byte, remove_piece,
                                                          insert_piece };
  GByteArray *mutant = g_byte_array_new ();
  gsize size;
  gconstpointer data = g_bytes_get_data (input, &size);

  g_byte_array_append (mutant, data, size);
  for (guint n = 1 + random_below (8); n > 0; n--)
    changes[random_below (G_N_ELEMENTS (changes))](mutant);
  g_byte_array_set_size (mutant, MIN (mutant->len, MAX_SIZE));
  return g_byte_array_free_to_bytes (mutant);
}

static void
test_mutations (void)
{
  guint n = es_test_is_slow () ? N_MUTATIONS_SLOW : N_MUTATIONS;

  g_test_summary ("So is whatever is made of them at random.");

  for (; n > 0; n--)
    {
      g_autoptr (GBytes) mutant = mutate (g_ptr_array_index (inputs, random_below (inputs->len)));

      run (mutant);
    }
}

/* The noun in the program's name, which libtool may have put something before. */
static const char *
noun_of (const char *program)
{
  const char *noun = g_strrstr (program, "fuzz-");

  g_assert_nonnull (noun);
  return noun + strlen ("fuzz-");
}

static void
run_files (char **paths)
{
  for (; *paths != NULL; paths++)
    {
      g_autoptr (GBytes) input = read_input (*paths);

      g_print ("%s\n", *paths);
      run (input);
    }
}

static int
run_tests (const char *noun)
{
  g_autofree char *corpus_path = g_strdup_printf ("/%s/corpus", noun);
  g_autofree char *mutations_path = g_strdup_printf ("/%s/mutations", noun);

  corpus = g_test_build_filename (G_TEST_DIST, "fuzz", "corpus", noun, NULL);
  inputs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_test_add_func (corpus_path, test_corpus);
  g_test_add_func (mutations_path, test_mutations);
  return g_test_run ();
}

int
main (int argc,
      char **argv)
{
  int status = 0;

  g_test_init (&argc, &argv, NULL);
  if (argc > 1)
    run_files (argv + 1);
  else
    status = run_tests (noun_of (argv[0]));
  g_clear_pointer (&inputs, g_ptr_array_unref);
  g_free (corpus);
  return status;
}
