// Says in words what becomes of a document. Pure functions.

/**
 * What the deletion of the winning revision does, after the name of the document. `conflicts` = other leaf
 * revisions that are not deleted; undefined = not known.
 */
export function afterDeletion(conflicts: number | undefined, hasAttachments: boolean): string {
  const attachments = hasAttachments ? ' Its attachments are deleted too.' : '';
  if (conflicts === 0)
    return `is deleted in this database and in the databases that it replicates to.${attachments}`;
  if (conflicts === undefined)
    return (
      'loses this revision. Whether it has conflicts is not known: if it has, another revision becomes the ' +
      'document.'
    );
  const others =
    conflicts === 1
      ? 'the revision in conflict with it becomes the document'
      : `one of the ${conflicts} revisions in conflict with it becomes the document`;
  return (
    `stays: only this revision is deleted, and ${others}. To delete the whole document, remove the others ` +
    'first, on the page Revisions.'
  );
}
