/*
 * Step numbers of the operations. They are part of keys that outlive a worker,
 * and an upgrade: never renumbered.
 */
#ifndef PODSHIM_WORKER_STEPS_H
#define PODSHIM_WORKER_STEPS_H

enum {
	/* Create */
	STEP_MOUNT = 1,
	STEP_CREATE = 2,
	STEP_UNDO_DELETE = 4,
	STEP_UNDO_UMOUNT = 5,
	/* Start, of init and of an exec */
	STEP_START = 1,
	STEP_RESTORE_UNDO = 2,
	/* Pause, Resume */
	STEP_FREEZE = 1,
	STEP_FREEZE_UNDO = 2,
	/* Update */
	STEP_UPDATE = 1,
	/* Checkpoint */
	STEP_CHECKPOINT = 1,
	/* Kill */
	STEP_KILL = 1,
	/* Delete, Purge */
	STEP_DELETE = 1,
	STEP_UMOUNT = 2,
	STEP_DELETE_KILL = 3,
	STEP_DELETE_MEMO = 4, /* no step of its own: the memo that it is done for */
};

#endif
