/*
 * podshimctl(1): looking at pods from outside. Everything is in ctl.c and the
 * verbs; tests link those without this main().
 */
#include <stdio.h>

#include "client/ctl.h"

int
main(int argc, char **argv)
{
	return ctl_run(argc, argv, stdout, stderr);
}
