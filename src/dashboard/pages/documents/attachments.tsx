// The attachments of a document. They are saved as files and never opened on this origin.
import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { API_ROOT } from '../../api/http.ts';
import { type Attachment, downloadAttachment, type DocumentText } from '../../api/documents.ts';
import { documentPath, isUnsendable } from '../../api/paths.ts';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { Foreign, Name, visible } from '../../parts/name.tsx';
import { sizeInWords } from '../../parts/size.ts';

/** The page keeps the bytes in memory until the file is saved. */
const MAX_BYTES = 256 * 1024 * 1024;

interface Props {
  readonly database: string;
  readonly id: string;
  readonly document: DocumentText;
}

export function Attachments({ database, id, document: { attachments, rev } }: Props) {
  const download = useMutation({
    mutationFn: (name: string) => downloadAttachment(database, id, { name, rev }),
  });
  if (attachments.length === 0)
    return (
      <p>
        There are no attachments. Programs add them with <code>PUT /{'{db}/{id}/{name}'}</code>.
      </p>
    );
  return (
    <>
      {download.isError && <ErrorNotice error={download.error} title="The file was not saved" />}
      <table className="list">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Type</th>
            <th scope="col" className="number">
              Size
            </th>
            <th scope="col">
              <span className="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {attachments.map((attachment) => (
            <tr key={attachment.name}>
              <th scope="row" data-column="Name">
                <Name of={attachment.name} />
              </th>
              <td data-column="Type">
                <Foreign text={attachment.contentType} />
              </td>
              <td className="number" data-column="Size">
                {sizeInWords(attachment.length)}
              </td>
              <td className="row-actions">
                <Button
                  size="xs"
                  variant="default"
                  aria-label={`Download ${visible(attachment.name)}`}
                  disabled={whyNot(attachment) !== undefined}
                  title={whyNot(attachment)}
                  loading={download.isPending && download.variables === attachment.name}
                  onClick={() => download.mutate(attachment.name)}
                >
                  Download
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="hint spaced">
        Large files: <code>curl -OJ -u NAME {`${API_ROOT}${documentPath(database, id)}/…`}</code>
      </p>
    </>
  );
}

function whyNot({ name, length }: Attachment): string | undefined {
  if (name.split('/').some(isUnsendable)) return 'Browsers cannot send this name';
  return length > MAX_BYTES ? 'Too large for the browser: use curl' : undefined;
}
