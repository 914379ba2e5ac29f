/*
 * What is on this node under podshim's names, whoever it belongs to: what is
 * orphaned, what disagrees with the kernel, what will go wrong.
 */
#ifndef PODSHIM_CLIENT_NODE_H
#define PODSHIM_CLIENT_NODE_H

#include "client/finding.h"
#include "client/look.h"

struct node {
	const char *root;
	const char *ns;		 /* NULL: all */
	const struct pods *pods; /* asked and loaded */
	const struct procs *procs;
	bool unread; /* not all pods could be read: then less is known to be orphaned */
};

/* One pod: what why_pod() does not say. */
void node_check_pod(const struct look *l, struct findings *out);
/* The rest of the node. */
void node_check(const struct node *node, struct findings *out);

/*
 * Of a pod whose keeper is dead: why it is nobody's (0, and *why a sentence that
 * begins small), or why it may still be somebody's (-EBUSY, and *why). *why is the
 * caller's. Looks only; to act on it, hold the pod's lock.
 */
int node_pod_is_orphan(const struct look *l, char **why);

/* Where sockets are that no pod's keeper told of: path, malloc'ed, NULL. */
char *node_stale_socket(const struct pod *pod);

#endif
