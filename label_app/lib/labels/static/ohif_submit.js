/* A small panel in OHIF that submits the label: the viewer's MONAI Label panel has no button for it.
 *
 * The labelmap is sent as NRRD with the volume's own geometry, so that the server can check where it lies. */
(() => {
  'use strict';

  const LABEL = 'igtv';
  const SEGMENTATION = '1'; // the id that the MONAI Label panel gives its labelmap

  const style = `
    #igtv-submit { position: fixed; right: 10px; bottom: 10px; width: 258px; z-index: 1000; padding: 10px;
      background: #041c4a; color: #fff; border: 1px solid #3a6ea5; border-radius: 6px; font: 13px sans-serif; }
    #igtv-submit button { margin: 6px 6px 0 0; padding: 5px 10px; border-radius: 4px; border: 0; cursor: pointer;
      background: #0a84c1; color: #fff; }
    #igtv-submit button:disabled { background: #445; cursor: default; }
    #igtv-submit button.quiet { background: #33415c; }
    #igtv-submit select { width: 100%; margin-top: 4px; background: #0b2a5b; color: #fff; border: 1px solid #3a6ea5; }
    #igtv-submit p { margin: 7px 0 0; min-height: 2.4em; }
    #igtv-submit p.bad { color: #ff9b8e; }
    #igtv-submit p.good { color: #8ee29b; }`;

  const panel = document.createElement('div');
  panel.id = 'igtv-submit';
  panel.innerHTML = `<b>Submit the IGTV</b>
    <select id="igtv-segment" title="which segment is the IGTV"></select>
    <button id="igtv-send">Submit label</button><button id="igtv-none" class="quiet">No tumour</button>
    <p id="igtv-said" role="status"></p>`;

  const at = id => panel.querySelector(`#${id}`);
  let asked = 0; // when "No tumour" was pressed once

  function say(text, kind = '') {
    at('igtv-said').textContent = text;
    at('igtv-said').className = kind;
  }

  function labelmap() {
    return segments().length ? window.services.segmentationService.getLabelmapVolume(SEGMENTATION) : undefined;
  }

  function segments() {
    const known = window.cornerstoneTools?.segmentation?.state?.getSegmentation(SEGMENTATION)?.segments || {};
    return Object.entries(known)
      .filter(([, segment]) => segment)
      .map(([index, segment]) => ({ index: Number(index), name: segment.label || `segment ${index}` }));
  }

  /* SeriesInstanceUID of the images that the labelmap lies on, by the address they were loaded from. */
  function series() {
    const map = window.cornerstoneTools.segmentation.state.getSegmentation(SEGMENTATION).representationData.Labelmap;
    const slice = window.cornerstone.cache.getImage(map?.imageIds?.[0]);
    const found = /\/series\/([0-9.]+)\//.exec(slice?.referencedImageId || '');
    if (!found) {
      throw new Error('OHIF does not say on which series the label was drawn; reload the study.');
    }
    return found[1];
  }

  function refreshSegments() {
    const list = at('igtv-segment');
    const found = segments();
    const wanted = found.map(one => `${one.index}:${one.name}`).join();
    if (list.dataset.shown === wanted) {
      return;
    }
    list.dataset.shown = wanted;
    list.replaceChildren(...found.map(one => new Option(one.name, String(one.index))));
    const preset = found.find(one => one.name.toLowerCase() === LABEL);
    list.value = preset ? String(preset.index) : list.options[0]?.value ?? '';
  }

  function nrrdHeader(volume) {
    const vector = (offset, factor) =>
      `(${[0, 1, 2].map(axis => volume.direction[offset + axis] * factor).join(',')})`;
    return [
      'NRRD0005',
      'type: uint8',
      'dimension: 3',
      'space: left-posterior-superior',
      `sizes: ${Array.from(volume.dimensions).join(' ')}`,
      `space directions: ${[0, 1, 2].map(axis => vector(3 * axis, volume.spacing[axis])).join(' ')}`,
      'kinds: domain domain domain',
      'encoding: gzip',
      `space origin: (${Array.from(volume.origin).join(',')})`,
      '\n',
    ].join('\n');
  }

  async function packed(volume, voxels) {
    const stream = new Blob([voxels]).stream().pipeThrough(new CompressionStream('gzip'));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    return new Blob([nrrdHeader(volume), bytes]);
  }

  async function answer(response) {
    const text = await response.text();
    try {
      const content = JSON.parse(text);
      return response.ok ? content : { detail: content.detail || content.error || text };
    } catch {
      return { detail: text.slice(0, 300) };
    }
  }

  async function submit(noTumour) {
    const volume = labelmap();
    if (!volume) {
      say('There is no label yet: press the round arrow beside "Server", then run a model or draw.', 'bad');
      return;
    }
    const chosen = Number(at('igtv-segment').value);
    const drawn = volume.voxelManager.getCompleteScalarDataArray();
    const mask = new Uint8Array(drawn.length);
    let inside = 0;
    for (let i = 0; !noTumour && i < drawn.length; i++) {
      if (drawn[i] === chosen) {
        mask[i] = 1;
        inside++;
      }
    }
    if (!noTumour && !inside) {
      say('This segment is empty. Choose another one, draw, or press "No tumour".', 'bad');
      return;
    }
    const image = series();
    const form = new FormData();
    const name = at('igtv-segment').selectedOptions[0]?.text || LABEL;
    const params = { label_info: [{ name: LABEL, idx: 1 }], client_id: 'OHIF', no_tumour: noTumour };
    if (name.toLowerCase() !== LABEL && !noTumour) {
      params.comment = `drawn as ${name}`;
    }
    form.append('params', JSON.stringify(params));
    form.append('label', await packed(volume, mask), 'label.nrrd');
    say('Sending ...');
    const query = `image=${encodeURIComponent(image)}&tag=final`;
    const response = await fetch(`${base()}/datastore/label?${query}`, { method: 'PUT', body: form });
    const content = await answer(response);
    if (!response.ok) {
      const login = response.status === 401 ? ' Log in again in another tab, then submit once more.' : '';
      say(`Not stored: ${content.detail}${login}`, 'bad');
      return;
    }
    const facts = await fetch(`${base()}/datastore/label/info?label=${encodeURIComponent(image)}&tag=final`);
    const known = facts.ok ? await facts.json() : {};
    const volumeText = noTumour ? 'no tumour' : `${known.volume_ml ?? '?'} ml`;
    say(`Stored as version ${known.version ?? '?'}: ${volumeText}. Thank you.`, 'good');
  }

  /* Address of the server: what comes before /ohif/. */
  function base() {
    return window.location.pathname.split('/ohif/')[0];
  }

  async function guarded(noTumour) {
    at('igtv-send').disabled = at('igtv-none').disabled = true;
    try {
      await submit(noTumour);
    } catch (error) {
      say(`Not stored: ${error.message}`, 'bad');
    } finally {
      at('igtv-send').disabled = at('igtv-none').disabled = false;
    }
  }

  at('igtv-send').addEventListener('click', () => guarded(false));
  at('igtv-none').addEventListener('click', () => {
    if (Date.now() - asked > 10000) {
      asked = Date.now();
      say('Press "No tumour" once more to submit that this case has none.');
      return;
    }
    asked = 0;
    guarded(true);
  });

  function update() {
    const annotating = window.location.pathname.includes('/monai-label');
    if (annotating && !panel.isConnected && document.body) {
      document.head.append(Object.assign(document.createElement('style'), { textContent: style }));
      document.body.append(panel);
    } else if (!annotating) {
      panel.remove();
    }
    if (panel.isConnected) {
      refreshSegments();
    }
  }

  window.setInterval(update, 500);
})();
