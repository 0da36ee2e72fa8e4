-- The health of a GatedRollout, for Argo CD. It has no `string` library here.
if obj.status == nil or obj.status.conditions == nil then
  return { status = "Progressing", message = "no replica has read it yet" }
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "no replica has read the change yet" }
end
local condition = {}
for _, found in ipairs(obj.status.conditions) do
  condition[found.type] = found
end
local function is(name, value)
  return condition[name] ~= nil and condition[name].status == value
end
for _, name in ipairs({ "Accepted", "Healthy" }) do
  if is(name, "False") then
    return { status = "Degraded", message = condition[name].message }
  end
end
if is("Progressing", "True") then
  local reason = condition.Progressing.reason
  if reason == "Paused" or reason == "AwaitingApproval" then
    return { status = "Suspended", message = condition.Progressing.message }
  end
  return { status = "Progressing", message = condition.Progressing.message }
end
if is("Accepted", "True") and is("Healthy", "True") then
  return { status = "Healthy", message = condition.Healthy.message }
end
return { status = "Progressing", message = "not judged yet" }
