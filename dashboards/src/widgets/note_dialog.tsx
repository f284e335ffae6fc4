/** Notes on days of the chart: write one, take one away. */

import { type Annotation, removeSetup, saveSetup } from "../api/setup";
import { Form, LabelledField } from "../parts/form";
import { Icon } from "../parts/icon";
import { Modal } from "../parts/modal";
import { useSite } from "../view/site";
import { times } from "../words/speech";

interface NoteDialogProps {
  readonly day: string;
  readonly notes: readonly Annotation[];
  readonly onClose: () => void;
}

/** As many characters as the server keeps. */
const LONGEST = 300;

export function NoteDialog({ day, notes, onClose }: NoteDialogProps) {
  const { shell, today } = useSite();
  const save = async (fields: FormData): Promise<void> => {
    await saveSetup(shell.domain, "annotations", { day: fields.get("day"), text: fields.get("text") });
    onClose();
  };
  return (
    <Modal title="Notes on the chart" onClose={onClose} class="small">
      <Form verb="Add the note" onSubmit={save}>
        <LabelledField label="Day">
          {(id) => <input id={id} name="day" type="date" required defaultValue={day} max={today} />}
        </LabelledField>
        <LabelledField label="What happened" hint="Everybody who may see the figures sees it.">
          {(id) => <input id={id} name="text" required maxLength={LONGEST} autocomplete="off" />}
        </LabelledField>
      </Form>
      {notes.length > 0 && (
        <ul class="kept">
          {notes.map((note) => (
            <li key={note.annotation_id}>
              <span>
                <b>{times.day(note.day)}</b> {note.text}
              </span>
              <button
                type="button"
                class="bare"
                aria-label={`Take away the note of ${times.day(note.day)}`}
                onClick={() => void removeSetup(shell.domain, "annotations", note.annotation_id)}
              >
                <Icon name="bin" />
              </button>
            </li>
          ))}
        </ul>
      )}
    </Modal>
  );
}
