/*
 * podshimctl help, written from the table of verbs: a new verb is in it at once.
 */
#include "client/ctl.h"

#include "base/mem.h"
#include "base/podpath.h"

int
cmd_help(struct ctl *ctl)
{
	const struct ctl_verb *v;

	(void)fprintf(
	    ctl->out, "usage: podshimctl [OPTION]... COMMAND [ARGUMENT]\n\nCommands:\n");
	for (v = ctl_verbs; v->name != NULL; v++) {
		AUTO_FREE char *call = mem_printf("%s %s", v->name, v->args);

		(void)fprintf(ctl->out, "  %-22s  %s\n", call, v->summary);
	}
	(void)fprintf(ctl->out,
	    "\nOptions:\n"
	    "  -o, --output FORMAT     table (default) or json\n"
	    "  -n, --namespace NAME    only pods of this containerd namespace\n"
	    "      --all               upgrade, restart: all pods instead of one\n"
	    "      --jobs N            upgrade, restart: so many at a time (default 4)\n"
	    "      --worker PATH       upgrade: to this executable\n"
	    "      --state-root DIR    where the pods' directories are\n"
	    "                          (default $PODSHIM_STATE_ROOT, else %s)\n"
	    "  -v, --version           the version of podshimctl\n"
	    "  -h, --help              this text\n"
	    "\nExit status: 0 done; 1 no such pod or something could not be read; 2 bad "
	    "usage.\n",
	    POD_STATE_ROOT);
	return CTL_OK;
}
