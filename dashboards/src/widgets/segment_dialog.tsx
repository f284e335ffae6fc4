/** Saves the filters of the view under a name. */

import { saveSetup } from "../api/setup";
import { Form, LabelledField } from "../parts/form";
import { Modal } from "../parts/modal";
import { mayManage } from "../shell";
import { apiFilter } from "../view/filters";
import { useView } from "../view/navigation";
import { useSite } from "../view/site";
import { names } from "../words/speech";

export function SegmentDialog({ onClose }: { readonly onClose: () => void }) {
  const { view } = useView();
  const { shell } = useSite();
  const save = async (fields: FormData): Promise<void> => {
    await saveSetup(shell.domain, "segments", {
      name: fields.get("name"),
      is_personal: fields.get("for") !== "everybody",
      filters: view.filters.map(apiFilter),
    });
    onClose();
  };
  return (
    <Modal title="Save as a segment" onClose={onClose} class="small">
      <ul class="plain">
        {view.filters.map((filter) => (
          <li key={names.filter(filter)}>{names.filter(filter)}</li>
        ))}
      </ul>
      <Form verb="Save" onSubmit={save}>
        <LabelledField label="Name">{(id) => <input id={id} name="name" required maxLength={100} autocomplete="off" />}</LabelledField>
        {mayManage(shell) && (
          <fieldset>
            <legend>For whom</legend>
            <label class="choice">
              <input type="radio" name="for" value="me" defaultChecked /> For me
            </label>
            <label class="choice">
              <input type="radio" name="for" value="everybody" /> For everybody of this site
            </label>
          </fieldset>
        )}
      </Form>
    </Modal>
  );
}
